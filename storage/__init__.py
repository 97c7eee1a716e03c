"""Rows and bytes: people, their sessions, their turns and the saved memory of each person; never tensors."""
