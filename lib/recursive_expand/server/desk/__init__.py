"""The review desk's side of the server: its page and the requests that the page makes."""
