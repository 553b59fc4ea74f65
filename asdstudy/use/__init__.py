"""Use: a finished run scores recordings that are new, and says which are anomalous."""
