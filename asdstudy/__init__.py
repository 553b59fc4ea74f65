"""The study around the method: data, systems, runs and report."""
