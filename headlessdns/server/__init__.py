"""How answers travel: workers over UDP and TCP, the feed that keeps them up to date, and who watches over them."""
