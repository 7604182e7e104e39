"""Networks in other libraries' terms, and back."""
