"""unlearn-bench as a library: a submission harness and leaderboard for machine unlearning of image classifiers."""
