"""Which ordinals run: a pure plan over what is observed, and one thin shell that applies it."""
