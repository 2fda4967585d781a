"""Images in memory, on a device or streamed: decoding, caching, prefetching."""
