"""The sample site of `tunnel demo`: an ordinary small web service that shows what passes through a tunnel."""
