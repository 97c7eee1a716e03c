"""The page as people see it: in a real Chromium, over a server of its own."""
