"""What a picture really shows: the texts that a renderer is given, and where they stand."""

from unittest import mock

from matplotlib.text import Text


def drawn_texts(figure):
    """Draw a figure and give (text, bounding box in pixels) of everything written."""
    seen = {}
    draw = Text.draw

    def note(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            seen[id(self)] = self
        return draw(self, renderer, *args, **kwargs)

    figure.canvas.draw()
    with mock.patch.object(Text, "draw", note):
        figure.canvas.draw()
    return [(text.get_text(), text.get_window_extent()) for text in seen.values()]


def faults(figure):
    """List texts that lie on each other or leave the figure by more than a pixel."""
    texts = drawn_texts(figure)
    assert texts
    found = []
    for position, (words, box) in enumerate(texts):
        if min(box.x0, box.y0) < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1:
            found.append(f"{words!r} leaves the figure")
        for other_words, other in texts[position + 1 :]:
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            if wide > 1 and high > 1:
                found.append(f"{words!r} lies on {other_words!r}")
    return found
