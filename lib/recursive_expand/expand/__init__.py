"""The recursion: what a round trains on, what it proposes, when it stops."""
