"""What the two programs are compared on: command lines, what surrounds them, and where they are meant to differ."""
