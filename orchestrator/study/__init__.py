"""Study files: loading, checks across sections, and search spaces."""
