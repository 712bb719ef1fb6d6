"""Scores, boards, audits and review flags: pure functions of what is stored."""
