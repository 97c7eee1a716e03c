"""Joins the three below: a chat turn, catching up, forgetting, people, the command line and the HTTP API."""
