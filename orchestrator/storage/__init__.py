"""Disks and S3 buckets behind one interface, and the lease that locks a sweep."""
