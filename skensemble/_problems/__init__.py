"""Generated problems whose best possible answer is known exactly: how to draw them, and that answer."""
