"""A small corpus of pages with sections and links."""

from rankloom import Document

THINGS = ("sky", "sea", "moon", "tide", "bread", "yeast", "light", "ferry", "harbour", "island")


def linked_pages(count):
    """Pages p0, p1, ...: each has one passage more than the one before it, and links to it.

    p0 has one passage of one section; the first passage of each other page is its section 0.
    """
    for page in range(count):
        thing = THINGS[page % len(THINGS)]
        for number in range(page % 4 + (page > 3) + 1):
            text = " ".join(
                f"The {thing} of page {page} has {what} number {number}."
                for what in ("a colour", "a weight", "a price")
            )
            metadata = {"page": f"p{page}", "section": number, "links": [f"p{page - 1}"] if page and not number else []}
            yield Document(f"p{page}-{number}", text, title=f"The {thing} {page}", metadata=metadata)
