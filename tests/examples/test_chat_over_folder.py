"""The example is run as it is: on a folder with a real PDF, offline and against a scripted endpoint."""

import importlib
import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from pypdf import PdfReader

from tests.chat_server import ChatServer

EXAMPLES = Path(__file__).parents[2] / "examples"
MARKDOWN = "# Bread\n\nBread needs yeast and time.\n\nA sourdough rests\nfor twelve well-kept hours, at least.\n"
PAGE = (
    "<html><head><title>Boats</title><style>p {}</style></head><body><nav><a>Home</a></nav>"
    "<p>The <b>ferry</b> to the island\n leaves at nine.</p><p>Tickets cost four euros.</p>"
    "<script>let x;</script></body></html>"
)


def write_pdf(path, pages):
    """A PDF with a line of text on each page, and nothing else."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    written, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{one}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    path.write_text(f"{written}{end}startxref\n{len(written)}\n%%EOF", encoding="latin-1")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "documents"
    (made / "below").mkdir(parents=True)
    (made / "bread.md").write_text(MARKDOWN, encoding="utf-8")
    (made / "below" / "boats.html").write_text(PAGE, encoding="utf-8")
    write_pdf(made / "bees.pdf", ["Bees live in hives.", "The queen of the hive lays all of its eggs."])
    (made / "damaged.pdf").write_bytes(b"no pdf")
    (made / "picture.png").write_bytes(b"\x89PNG")
    (made / "latin.txt").write_bytes(b"caf\xe9")
    write_pdf(made / "scan.pdf", ["", ""])
    (tmp_path / "secret.txt").write_text("The password is swordfish.")
    (made / "link.txt").symlink_to(tmp_path / "secret.txt")
    return made


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name in ("chat_over_folder", "folder_texts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("chat_over_folder")


def texts_of(folder, memory):
    return importlib.import_module("folder_texts").read_folder(folder, memory)


@pytest.mark.usefixtures("example")
def test_what_did_not_change_is_not_read_again_and_what_can_not_be_read_is_told(folder, tmp_path):
    memory = tmp_path / "texts.json"
    first = texts_of(folder, memory)
    assert len(first.read) == 6
    assert first.problems.keys() == {"damaged.pdf", "picture.png", "latin.txt", "scan.pdf", "link.txt"}
    assert "OCR" in first.problems["scan.pdf"]
    assert "out of the folder" in first.problems["link.txt"]
    assert not any("swordfish" in one.text for one in first.passages)

    (folder / "bread.md").write_text(MARKDOWN + "\nSalt comes last.\n", encoding="utf-8")
    (folder / "below" / "boats.html").unlink()
    second = texts_of(folder, memory)
    assert second.read == ["bread.md"]
    assert len(second.unchanged) == 4
    assert second.problems == first.problems
    assert {one.metadata["file"] for one in second.passages} == {"bread.md", "bees.pdf"}

    memory.write_text("{", encoding="utf-8")
    assert len(texts_of(folder, memory).read) == 5


@pytest.mark.usefixtures("example")
def test_each_passage_stands_at_its_place(folder, tmp_path):
    for one in texts_of(folder, tmp_path / "texts.json").passages:
        if one.metadata["file"].endswith(".md"):
            assert MARKDOWN[one.metadata["start"] :].startswith(one.text)
        if one.metadata["page"]:
            page = PdfReader(folder / one.metadata["file"]).pages[one.metadata["page"] - 1].extract_text()
            assert page[one.metadata["start"] :].startswith(one.text)


def test_long_texts_become_passages_of_whole_sentences(example, tmp_path):
    text = " ".join(f"Sentence number {number} stands here." for number in range(100))
    (tmp_path / "long.txt").write_text(text)
    passages = texts_of(tmp_path, tmp_path / ".state" / "texts.json").passages
    assert len(passages) > 3
    assert " ".join(one.text for one in passages) == text
    assert example.link_to(tmp_path, passages[0], "A-b, c").endswith("#:~:text=A%2Db%2C%20c")


def links(page):
    found = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag == "a":
                found.append(dict(attributes)["href"])

    Links().feed(page.read_text(encoding="utf-8"))
    return found


def shown_text(path):
    """The words of a source, read without the example."""
    kept = []

    class Words(HTMLParser):
        def handle_data(self, data):
            kept.append(data)

    if path.suffix != ".html":
        return " ".join(path.read_text(encoding="utf-8").split())
    Words().feed(path.read_text(encoding="utf-8"))
    return " ".join("".join(kept).split())


def check_links(page, folder):
    """Each link leads to a page that is there, or to words that stand in the file."""
    found = links(page)
    assert found
    for link in found:
        parts = urlsplit(link)
        source = Path(unquote(parts.path))
        assert source.is_relative_to(folder.resolve())
        if parts.fragment.startswith("page="):
            assert int(parts.fragment[5:]) <= len(PdfReader(source).pages)
            continue
        assert parts.fragment.startswith(":~:text=")
        for end in parts.fragment.removeprefix(":~:text=").split(","):
            assert unquote(end) in shown_text(source)
    return found


QUESTIONS = {
    "When does the ferry leave?": ("The ferry to the island leaves at nine.", "boats.html#:~:text="),
    "Who lays the eggs of the hive?": ("The queen of the hive lays all of its eggs.", "bees.pdf#page=2"),
    "How long does a sourdough rest?": ("A sourdough rests for twelve well-kept hours", "bread.md#:~:text="),
}


@pytest.mark.slow
def test_offline_each_answer_is_a_sentence_that_its_link_opens(example, folder, tmp_path, capsys):
    asked = [word for question in QUESTIONS for word in ("--ask", question)]
    assert example.main([str(folder), "--state", str(tmp_path / "state"), *asked]) == 0
    printed = capsys.readouterr().out
    for number, (answer, link) in enumerate(QUESTIONS.values(), start=1):
        assert answer in printed
        assert link in check_links(tmp_path / "state" / "answers" / f"{number}.html", folder)[0]
    for name in ("damaged.pdf", "picture.png", "latin.txt", "link.txt"):
        assert f"not read: {name}" in printed


@pytest.mark.slow
def test_an_endpoint_answers_in_its_own_words_with_the_same_citations(example, folder, tmp_path, capsys):
    server = ChatServer()
    server.says = lambda _: "It leaves at nine <b>. [1][9]"
    state = tmp_path / "state"
    arguments = [str(folder), "--state", str(state), "--url", server.url, "--model", "m"]
    try:
        assert example.main([*arguments, "--ask", "When does the ferry leave?"]) == 0
        assert "The ferry to the island leaves at nine." in server.prompts[0]
        server.says = lambda _: "Nobody knows."
        assert example.main([*arguments, "--ask", "Where is the ferry?"]) == 0
    finally:
        server.close()
    printed = capsys.readouterr().out
    assert "unknown_citation: 1" in printed
    assert "cites no passage" in printed
    assert links(state / "answers" / "1.html") == []  # the second answer took the place of the first


def test_a_model_is_named_and_a_folder_is_there(example, tmp_path, capsys):
    with pytest.raises(SystemExit):
        example.main([str(tmp_path), "--url", "http://localhost:1/v1"])
    assert "--model" in capsys.readouterr().err
    assert example.main([str(tmp_path / os.urandom(4).hex())]) == 1
