"""What a sweep leaves on disk: folder layout, leaderboard, test scores."""
