"""The static pages of ``bench leaderboard --format html``."""
