"""The counters and what is made of them."""
