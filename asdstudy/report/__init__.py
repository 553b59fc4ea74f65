"""Tables, figures and captions of the book."""
