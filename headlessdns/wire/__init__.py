"""How it is said in octets: composed ahead of time, looked up at query time."""
