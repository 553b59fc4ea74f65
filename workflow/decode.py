"""Decode a corpus once, before runs in parallel map it; print its fingerprint as JSON."""

import json
import sys

from asdstudy.data import open_corpus, sound_fingerprint

if __name__ == "__main__":
    corpus, data_dir = sys.argv[1:3]
    _, banks = open_corpus(corpus, data_dir, progress=False)
    print(json.dumps({"corpus": corpus, "fingerprint": sound_fingerprint(banks)}))
