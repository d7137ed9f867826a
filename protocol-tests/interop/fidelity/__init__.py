"""Documents and messages on which what our models make of them must be what hop-client's make of them."""
