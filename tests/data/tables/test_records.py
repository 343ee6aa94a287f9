"""Every row of a file becomes one record, whatever is in it."""

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from vit.data.tables import delimited, table_file
from vit.data.tables.records import STATUSES, Record, read_records
from vit.data.tables.table_file import SUFFIXES
from vit.errors import VitError

# Arabic, Hebrew with points, a family and a flag (several code points each), a combining accent, and what
# `str.splitlines` takes for line ends.
STRANGE = [
    "مرحبا بالعالم",
    "שָׁלוֹם \u202eעולם\u202c",
    "👩‍👩‍👧‍👦 🇳🇿",
    "e\u0301te\u0301",
    "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g",
    "\x00nul\x00",
    " kept \u3000",
    "\ufeffnot at the start",
    '"quoted" and \'so\' and 5" wide',
]
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NO_BREAK = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n"), max_size=30)


def read(tmp_path: Path, file: str, content: bytes | str) -> list[Record]:
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    records = list(read_records(path, "f"))
    for record in records:
        assert record.status in STATUSES
        assert (record.error == "") == (record.status == "ok")
        assert len(record.error.splitlines()) <= 1
        assert record.status == "ok" or record.text == ""
    return records


def refusal(path: Path) -> str:
    with pytest.raises(VitError) as caught:
        list(read_records(path))
    message = str(caught.value)
    assert str(path) in message
    assert "expected" in message
    assert len(message.splitlines()) == 1
    return message


def ok(number: int, text: str, label: str | None = None) -> Record:
    return Record(f"f:{number}", text, label, "ok", "")


def empty(number: int, label: str | None = None) -> Record:
    return Record(f"f:{number}", "", label, "empty", "has no text")


def broken(number: int, error: str) -> Record:
    return Record(f"f:{number}", "", None, "broken", error)


# Lines of text


def test_a_line_is_a_text(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "one\n\n \t\u3000\n two \nthree")
    assert found == [ok(1, "one"), empty(2), empty(3), ok(4, " two "), ok(5, "three")]


@pytest.mark.parametrize("content", ["one\ntwo\n", "one\r\ntwo\r\n", "one\ntwo", "\ufeffone\r\ntwo"])
def test_line_ends_and_a_mark_at_the_start(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, "a.txt", content) == [ok(1, "one"), ok(2, "two")]


@pytest.mark.parametrize("content", ["", "\ufeff"])
def test_no_lines(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, "a.txt", content) == []


def test_the_last_empty_lines_count_but_the_last_newline_does_not(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "one\n\n\n") == [ok(1, "one"), empty(2), empty(3)]
    assert read(tmp_path, "a.txt", "\n") == [empty(1)]


def test_a_return_within_a_line_is_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "a\rb\r\r\nc\r") == [ok(1, "a\rb\r"), ok(2, "c\r")]


def test_strange_texts_are_kept_exactly(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "\n".join(STRANGE))
    assert found == [ok(number, text) for number, text in enumerate(STRANGE, 1)]


def test_ten_thousand_words_on_a_line(tmp_path: Path) -> None:
    line = " ".join(f"word{i}" for i in range(10_000))
    assert read(tmp_path, "a.txt", f"{line}\nnext\n") == [ok(1, line), ok(2, "next")]
    assert read(tmp_path, "a.tsv", f"text\n{line}\nnext\n") == [ok(2, line), ok(3, "next")]
    assert read(tmp_path, "a.jsonl", json.dumps({"text": line})) == [ok(1, line)]
    longer = f"{line} {line}"  # of more characters than the csv module takes by default
    assert len(longer) > 131_072
    assert read(tmp_path, "a.csv", f'text\n"{longer}"\nnext\n') == [ok(2, longer), ok(3, "next")]


def test_bytes_that_are_not_utf8_break_their_line_alone(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", b"a good line\nun bon caf\xe9\n" + "café\n".encode())
    assert found == [
        ok(1, "a good line"),
        broken(2, "byte 0xe9 at position 11 is not UTF-8"),
        ok(3, "café"),
    ]


def test_positions_of_bytes_count_after_the_mark(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", b"\xef\xbb\xbf\xff") == [broken(1, "byte 0xff at position 1 is not UTF-8")]


def test_an_encoded_surrogate_is_not_utf8(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", b"a\xed\xa0\x80") == [broken(1, "byte 0xed at position 2 is not UTF-8")]


@given(st.lists(NO_BREAK.filter(str.strip), max_size=5))
def test_lines_come_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    content = "\ufeff" + "".join(f"{text}\n" for text in texts)
    found = read(tmp_path_factory.mktemp("t"), "a.txt", content)
    assert found == [ok(number, text) for number, text in enumerate(texts, 1)]


# TSV


def test_tsv(tmp_path: Path) -> None:
    found = read(tmp_path, "a.tsv", 'sentence\tlabel\n"so" it goes\t1\nan "open quote\t0\n\' it\t1\n')
    assert found == [ok(2, '"so" it goes', "1"), ok(3, 'an "open quote', "0"), ok(4, "' it", "1")]


def test_tsv_with_a_mark_and_returns(tmp_path: Path) -> None:
    found = read(tmp_path, "a.tsv", "\ufefflabel\ttext\r\nneg\t \r\npos\tgood\r\n")
    assert found == [empty(2, "neg"), ok(3, "good", "pos")]


def test_tsv_with_other_numbers_of_fields(tmp_path: Path) -> None:
    found = read(tmp_path, "a.tsv", "label\ttext\n1\ta\tb\n\n0\tgood\n1\n")
    assert found == [
        broken(2, "has 3 fields, expected 2: label, text"),
        broken(3, "has 1 field, expected 2: label, text"),
        ok(4, "good", "0"),
        broken(5, "has 1 field, expected 2: label, text"),
    ]


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_a_label_that_is_missing(tmp_path: Path, suffix: str) -> None:
    tab = "\t" if suffix == "tsv" else ","
    lines = ["text,label", "good,1", "bad,", "worse, ", ",1", ","]
    found = read(tmp_path, f"a.{suffix}", "\n".join(lines).replace(",", tab))
    assert found == [ok(2, "good", "1"), ok(3, "bad"), ok(4, "worse"), empty(5, "1"), empty(6)]


def test_tsv_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    found = read(tmp_path, "a.tsv", b"text\tlabel\nna\xefve\t1\ngood\t\xe9\ngood\t1\n")
    assert found == [
        broken(2, "byte 0xef at position 3 is not UTF-8"),
        broken(3, "byte 0xe9 at position 6 is not UTF-8"),
        ok(4, "good", "1"),
    ]


@given(st.lists(st.tuples(NO_BREAK.filter(str.strip), NO_BREAK.filter(str.strip)), max_size=5))
def test_tsv_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    content = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    found = read(tmp_path_factory.mktemp("t"), "a.tsv", content)
    assert found == [ok(number, text, label) for number, (text, label) in enumerate(rows, 2)]


# Headers


@pytest.mark.parametrize("text", ["text", "sentence", "question", "review", "content", "TEXT", "Review"])
@pytest.mark.parametrize("label", ["label", "labels", "class", "target", "LABEL", "Target"])
@pytest.mark.parametrize("tab", ["\t", ","])
def test_names_of_columns(tmp_path: Path, text: str, label: str, tab: str) -> None:
    content = f"id {label} {text} more\n7 pos good x\n".replace(" ", tab)
    assert read(tmp_path, "a.tsv" if tab == "\t" else "a.csv", content) == [ok(2, "good", "pos")]


def test_names_of_columns_in_order_of_preference(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "review,text,class,label\na,b,c,d\n") == [ok(2, "b", "d")]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [("verse", ok(2, "a")), ("verse,label", ok(2, "a", "b")), ("label,verse", ok(2, "b", "a"))],
)
def test_the_only_column_that_is_no_label_is_the_text(tmp_path: Path, header: str, wanted: Record) -> None:
    assert read(tmp_path, "a.csv", f"{header}\n{'a,b' if ',' in header else 'a'}\n") == [wanted]


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_a_header_without_texts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("id,verse,label\n1,a,b\n".replace(",", "\t" if suffix == "tsv" else ","))
    message = refusal(path)
    assert "has the columns id, verse, label, expected one of text, sentence, question" in message
    assert "--data.input_column" in message
    assert "--column" in message
    path.write_text("label\n1\n")
    assert "has the columns label," in refusal(path)


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
@pytest.mark.parametrize("content", ["", "\n", "\r\n", "\ufeff", "\ufeff\n", " \na\n"])
def test_an_empty_header(tmp_path: Path, suffix: str, content: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content.encode())
    assert "empty header" in refusal(path)


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_a_broken_header(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"t\xe9xt\na\n")
    assert "header: byte 0xe9 at position 2 is not UTF-8" in refusal(path)


def test_a_header_with_an_open_quote(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"text\na\n')
    assert "header: is not CSV" in refusal(path)


def test_a_header_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "a.tsv", "text\tlabel") == []
    assert read(tmp_path, "a.csv", "text,label\n") == []


# CSV


def test_csv(tmp_path: Path) -> None:
    content = (
        'label,text\r\n1,plain\r\n2,"a, b"\r\n3,"say ""so"""\r\n"4","two\r\nlines\n\nand more"\r\n5,last'
    )
    assert read(tmp_path, "a.csv", content) == [
        ok(2, "plain", "1"),
        ok(3, "a, b", "2"),
        ok(4, 'say "so"', "3"),
        ok(5, "two\r\nlines\n\nand more", "4"),
        ok(9, "last", "5"),
    ]


def test_csv_with_a_mark_and_a_header_in_quotes(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", '\ufeff"text","label"\n"a",b\n') == [ok(2, "a", "b")]


def test_csv_with_other_numbers_of_fields(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", 'label,text\n1,a,b\n\n"0\n0",good\n1\n')
    assert found == [
        broken(2, "has 3 fields, expected 2: label, text"),
        broken(3, "has 1 field, expected 2: label, text"),
        ok(4, "good", "0\n0"),
        broken(6, "has 1 field, expected 2: label, text"),
    ]


def test_csv_with_empty_lines_in_one_column(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", 'text\n\na\n""\n\n') == [empty(2), ok(3, "a"), empty(4), empty(5)]


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    first, last = read(tmp_path, "a.csv", 'text,label\na,1\n"b,2\nc,3\n')
    assert first == ok(2, "a", "1")
    assert last == broken(3, "is not CSV: unexpected end of data, lines taken: 2; check the quotes")


def test_text_after_a_quote(tmp_path: Path) -> None:
    """The broken row takes the lines up to where the reader notices; the lines after them are read."""
    first, second, last = read(tmp_path, "a.csv", 'text,label\n"a"b,1\n"c\nd"e,2\nf,3\n')
    assert (first.name, first.status) == ("f:2", "broken")
    assert "lines taken: 1;" in first.error
    assert (second.name, second.status) == ("f:3", "broken")
    assert "lines taken: 2;" in second.error
    assert last == ok(5, "f", "3")


def test_a_quote_after_a_fault_opens_nothing(tmp_path: Path) -> None:
    first, last = read(tmp_path, "a.csv", 'text,label\n"a"b,"c\nd,1\n')
    assert (first.name, first.status) == ("f:2", "broken")
    assert last == ok(3, "d", "1")


def test_quotes_within_an_unquoted_field_are_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", 'text,label\n5" wide,1\nb,2\n') == [ok(2, '5" wide', "1"), ok(3, "b", "2")]


def test_a_return_in_csv(tmp_path: Path) -> None:
    """It is text in quotes, and a fault of its row outside them."""
    first, second, last = read(tmp_path, "a.csv", 'text\n"a\rb"\na\rb\nc\n')
    assert first == ok(2, "a\rb")
    assert (second.name, second.status) == ("f:3", "broken")
    assert last == ok(4, "c")


def test_strange_texts_in_csv(tmp_path: Path) -> None:
    content = "text\n" + "".join('"{}"\n'.format(text.replace('"', '""')) for text in STRANGE)
    assert read(tmp_path, "a.csv", content) == [ok(number, text) for number, text in enumerate(STRANGE, 2)]


def test_a_quote_that_is_never_closed_does_not_take_all_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = csv.field_size_limit()
    monkeypatch.setattr(delimited, "MAX_FIELD", 20)
    try:
        found = read(tmp_path, "a.csv", 'text\n"a\n' + 6 * "seventeen letters\n")
    finally:
        csv.field_size_limit(before)
    assert (found[0].name, found[0].status) == ("f:2", "broken")
    assert "field limit" in found[0].error
    assert found[1:] == [ok(number, "seventeen letters") for number in range(5, 9)]


def test_csv_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", b'text,label\n"na\xefve\n",1\n"two\n\xe9",1\ncaf\xc3,1\ngood,2\n')
    assert found == [
        broken(2, "byte 0xef at position 4 is not UTF-8"),
        broken(4, "byte 0xe9 at position 6 is not UTF-8"),
        broken(6, "byte 0xc3 at position 4 is not UTF-8"),
        ok(7, "good", "2"),
    ]


@given(st.lists(st.tuples(ANY.filter(str.strip), ANY.filter(str.strip)), max_size=5))
def test_csv_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    found = read(tmp_path_factory.mktemp("t"), "a.csv", stream.getvalue())
    assert [(record.text, record.label, record.status) for record in found] == [(*row, "ok") for row in rows]
    line = 2
    for record, row in zip(found, rows, strict=True):
        assert record.name == f"f:{line}"
        line += 1 + "".join(row).count("\n")


# JSON lines


def test_jsonl(tmp_path: Path) -> None:
    content = '\ufeff{"text": "a", "label": "x"}\r\n{"id": 7, "Sentence": "b"}\r\n{"review": " \\n"}'
    assert read(tmp_path, "a.jsonl", content) == [ok(1, "a", "x"), ok(2, "b"), empty(3)]


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ('"x"', "x"),
        ("3", "3"),
        ("0", "0"),
        ("true", "True"),
        ("false", "False"),
        ("1.5", "1.5"),
        ("null", None),
    ],
)
def test_labels_of_json(tmp_path: Path, label: str, wanted: str | None) -> None:
    assert read(tmp_path, "a.jsonl", f'{{"target": {label}, "text": "a"}}') == [ok(1, "a", wanted)]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "is not JSON: Expecting value, at character 1"),
        ('{"text": "a"', "is not JSON: Expecting ',' delimiter, at character 13"),
        ('{"text": "a"} {}', "is not JSON: Extra data, at character 15"),
        ('["a"]', "is of type list, expected an object"),
        ('"a"', "is of type str, expected an object"),
        ("null", "is of type NoneType, expected an object"),
        ('{"text": 3}', "text is of type int, expected a string"),
        ('{"Text": null}', "Text is of type NoneType, expected a string"),
        ('{"text": "ab\\ud800"}', "a lone surrogate, U+D800, as character 3"),
        ('{"text": "\\udfff\\ud83d"}', "a lone surrogate, U+DFFF, as character 1"),
    ],
)
def test_broken_json(tmp_path: Path, line: str, error: str) -> None:
    good = '{"text": "good"}'
    found = read(tmp_path, "a.jsonl", f"{good}\n{line}\n{good}\n")
    assert found == [ok(1, "good"), broken(2, error), ok(3, "good")]


@pytest.mark.parametrize(
    ("line", "columns"),
    [('{"words": "a", "id": 3}', "words, id"), ("{}", ""), ('{"\\ud800\\n": "a", "b": 1}', "\\ud800, b")],
)
def test_json_without_a_text(tmp_path: Path, line: str, columns: str) -> None:
    first, last = read(tmp_path, "a.jsonl", f'{line}\n{{"text": "good"}}\n')
    assert (first.name, first.status) == ("f:1", "broken")
    assert first.error.startswith(f"has the columns {columns}, expected one of text, sentence")
    assert last == ok(2, "good")


@pytest.mark.parametrize("label", ['["x"]', '""', '" "', '"x\\udc00"', "{}", "null"])
def test_a_label_that_cannot_be_read_costs_no_text(tmp_path: Path, label: str) -> None:
    assert read(tmp_path, "a.jsonl", f'{{"text": "a", "label": {label}}}') == [ok(1, "a")]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"text": "a", "label": ' + "1" * 5000 + "}"])
def test_json_beyond_the_limits_of_python(tmp_path: Path, line: str) -> None:
    first, last = read(tmp_path, "a.jsonl", f'{line}\n{{"text": "good"}}\n')
    assert (first.name, first.status) == ("f:1", "broken")
    assert first.error.startswith("is JSON that cannot be read: ")
    assert last == ok(2, "good")


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"text": "\\ud83d\\ude00"}') == [ok(1, "😀")]


def test_jsonl_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    found = read(tmp_path, "a.jsonl", b'{"text": "\xe9"}\n{"text": "a"}\n')
    assert found == [broken(1, "byte 0xe9 at position 11 is not UTF-8"), ok(2, "a")]


@given(st.lists(st.tuples(ANY.filter(str.strip), ANY.filter(str.strip)), max_size=5), st.booleans())
def test_jsonl_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], escaped: bool
) -> None:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=escaped) for text, label in rows]
    found = read(tmp_path_factory.mktemp("t"), "a.jsonl", "\n".join(lines))
    assert found == [ok(number, text, label) for number, (text, label) in enumerate(rows, 1)]


# Parquet


def write(path: Path, columns: dict[str, pa.Array], names: list[str] | None = None) -> Path:
    table = pa.table(columns)
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path)
    return path


def test_parquet(tmp_path: Path) -> None:
    columns = {"id": pa.array([1, 2, 3, 4]), "text": pa.array(["a", None, " ", "b\r\n"])}
    path = write(tmp_path / "a.parquet", columns)
    assert list(read_records(path, "f")) == [ok(1, "a"), empty(2), empty(3), ok(4, "b\r\n")]


def test_parquet_keeps_strange_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": pa.array(STRANGE, pa.large_string())})
    assert list(read_records(path, "f")) == [ok(number, text) for number, text in enumerate(STRANGE, 1)]


def test_parquet_with_labels(tmp_path: Path) -> None:
    texts = pa.array(["a", "b", "c", "d"])
    path = write(tmp_path / "a.parquet", {"class": pa.array(["x", None, "", "y"]), "Verse": texts})
    wanted = [ok(1, "a", "x"), ok(2, "b"), ok(3, "c"), ok(4, "d", "y")]
    assert list(read_records(path, "f")) == wanted
    path = write(path, {"label": pa.array([0, 3, None, -1], pa.int8()), "text": texts})
    wanted = [ok(1, "a", "0"), ok(2, "b", "3"), ok(3, "c"), ok(4, "d", "-1")]
    assert list(read_records(path, "f")) == wanted


def test_parquet_with_names_of_labels(tmp_path: Path) -> None:
    columns = {"text": pa.array(["a", "b", "c", "d"]), "label": pa.array([1, 0, -1, 2])}
    found = list(read_records(write(tmp_path / "a.parquet", columns, ["neg", "pos"]), "f"))
    assert found == [
        ok(1, "a", "pos"),
        ok(2, "b", "neg"),
        ok(3, "c"),  # -1: not known
        ok(4, "d"),
    ]


def test_parquet_of_many_batches_and_row_groups(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(2503)]
    parquet.write_table(
        pa.table({"text": texts, "label": list(range(2503))}), tmp_path / "a.parquet", row_group_size=1100
    )
    found = list(read_records(tmp_path / "a.parquet", "f"))
    assert found == [ok(number, text, str(number - 1)) for number, text in enumerate(texts, 1)]


def test_parquet_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    ends = pa.array([0, 1, 4, 5], pa.int32()).buffers()[1]
    texts = pa.StringArray.from_buffers(3, ends, pa.py_buffer(b"anu\xe9b"))
    path = write(tmp_path / "a.parquet", {"text": texts})
    wanted = [ok(1, "a"), broken(2, "byte 0xe9 at position 3 is not UTF-8"), ok(3, "b")]
    assert list(read_records(path, "f")) == wanted


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": pa.array([1])}, ["text", "int64", "string"]),
        ({"text": pa.array([b"a"])}, ["text", "binary", "string"]),
        ({"id": pa.array([1]), "verse": pa.array(["a"])}, ["id, verse", "text, sentence"]),
        ({}, ["empty header"]),
    ],
)
def test_parquet_without_texts(tmp_path: Path, columns: dict[str, pa.Array], expected: list[str]) -> None:
    message = refusal(write(tmp_path / "a.parquet", columns))
    assert [part for part in expected if part not in message] == []


def test_parquet_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for content in (b"", b"PAR1 and no more"):
        path.write_bytes(content)
        assert "cannot read" in refusal(path)


def test_parquet_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": [f"text {i}" for i in range(999)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:300] = bytes(296)
    path.write_bytes(content)
    assert "cannot read" in refusal(path)


# Files


def test_names_and_suffixes(tmp_path: Path) -> None:
    path = tmp_path / "A.TXT"
    path.write_text("a\n")
    assert [record.name for record in read_records(path)] == [f"{path}:1"]
    assert [record.name for record in read_records(path, "deep/x")] == ["deep/x:1"]


def test_a_list_in_json(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": i} for i in range(5)]
    wanted = [ok(number, row["text"], str(row["label"])) for number, row in enumerate(rows, 1)]
    assert read(tmp_path, "a.json", json.dumps(rows, indent=2)) == wanted
    assert read(tmp_path, "a.json", "\ufeff \n" + json.dumps(rows)) == wanted
    assert read(tmp_path, "a.json", "[]") == []
    found = read(tmp_path, "a.json", '[{"text": "a"}, 3, {"text": "b"}]')
    assert found == [ok(1, "a"), broken(2, "is of type int, expected an object"), ok(3, "b")]
    assert read(tmp_path, "a.json", "\n".join(map(json.dumps, rows))) == wanted, "an object per line"


@pytest.mark.parametrize(
    ("content", "said"),
    [('[{"text": "a"}, {"text": ', "item 2"), ('[{"text": "a"} 3]', "','"), ("[", "'its end'")],
)
def test_a_broken_list_in_json(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(VitError, match="is not a list in JSON") as caught:
        list(read_records(tmp_path / "a.json"))
    assert said in str(caught.value)


@given(
    st.lists(st.fixed_dictionaries({"text": ANY.filter(str.strip), "n": st.integers()}), max_size=5),
    st.booleans(),
)
def test_lists_in_json_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict], escaped: bool
) -> None:
    found = read(tmp_path_factory.mktemp("t"), "a.json", json.dumps(rows, ensure_ascii=escaped))
    assert found == [ok(number, row["text"]) for number, row in enumerate(rows, 1)]


def test_a_list_longer_than_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "CHUNK", 7)
    rows = [{"text": "x" * length} for length in (1, 13, 101, 3)]
    found = read(tmp_path, "a.json", json.dumps(rows))
    assert [record.text for record in found] == [row["text"] for row in rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    lines = ["label;text", 'a;"one; two, three"', "b;four, five"]
    content = "\n".join(lines).replace(";", delimiter).replace(f"one{delimiter}", "one;")
    if delimiter == ",":
        content = content.replace("b,four, five", 'b,"four, five"')
    assert read(tmp_path, "a.csv", content) == [ok(2, "one; two, three", "a"), ok(3, "four, five", "b")]


def test_a_delimiter_in_the_names_of_columns(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "label,text,x|y|z|w\np,q,r\n") == [ok(2, "q", "p")]
    assert read(tmp_path, "a.csv", "text\na;b\n") == [ok(2, "a;b")]
    assert read(tmp_path, "a.csv", '"text";"label"\r\n"a;b";c\r\n') == [ok(2, "a;b", "c")]


@given(
    st.lists(st.tuples(ANY.filter(str.strip), ANY.filter(str.strip)), max_size=5),
    st.sampled_from(delimited.DELIMITERS),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
def test_csv_of_any_delimiter_and_encoding_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    delimiter: str,
    encoding: str,
    packed: bool,
) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    content = stream.getvalue().encode(encoding)
    name = "a.csv.gz" if packed else "a.csv"
    found = read(tmp_path_factory.mktemp("t"), name, gzip.compress(content) if packed else content)
    assert [(record.text, record.label, record.status) for record in found] == [(*row, "ok") for row in rows]


@pytest.mark.parametrize("suffix", ["txt", "tsv", "csv", "json", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_encodings_and_gzip(tmp_path: Path, suffix: str, encoding: str) -> None:
    texts = ["plain", "\u010c\u0a0a\u0d0d 👩\u200d👧", "\u2028"]
    header = [] if suffix in ("txt", "json", "jsonl") else ["text"]
    lines = [json.dumps({"text": text}, ensure_ascii=False) if "json" in suffix else text for text in texts]
    content = "\n".join([*header, *lines])
    mark = "\ufeff" if encoding == "utf-16-be" else ""  # the others write their own
    raw = (mark + content).encode(encoding)
    wanted = [ok(number, text) for number, text in enumerate(texts, 1 + len(header))]
    wanted[-1] = empty(wanted[-1].name.rpartition(":")[2])
    assert read(tmp_path, f"a.{suffix}", raw) == wanted
    assert read(tmp_path, f"a.{suffix}.gz", gzip.compress(raw)) == wanted


def test_half_of_a_pair_in_utf16_breaks_its_line_alone(tmp_path: Path) -> None:
    first, second, last = read(tmp_path, "a.txt", b"\xff\xfea\0\n\0b\0\x3d\xd8\n\0c\0")
    assert (first, last) == (ok(1, "a"), ok(3, "c"))
    assert (second.name, second.status) == ("f:2", "broken")


def test_gzip_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    noise = "".join(f"{i * i * 7919 % 104729}\n" for i in range(5000))
    path.write_bytes(gzip.compress(b"text\n" + noise.encode())[:-20])
    assert "cannot read" in refusal(path)


def test_fasttext(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "__label__x one text\n__label__y __label__z two\nthree __label__x\n")
    assert [record.text for record in found] == ["one text", "two", "three __label__x"]
    plain = read(tmp_path, "b.txt", "a text\n__label__x another\n")
    assert [record.text for record in plain] == ["a text", "__label__x another"]


def test_a_column_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Id;Verse;text;Year\n7;a;b;1999\n8;;d;\n")
    first, second = read_records(path, "f", column="verse", keep=["id", "Year"])
    assert (first.text, first.kept) == ("a", ["7", "1999"])
    assert (second.status, second.kept) == ("empty", ["8", ""])
    for asked in ({"column": "line"}, {"keep": ["id", "line"]}):
        with pytest.raises(VitError, match=r"no column 'line', .* its columns are Id, Verse, text, Year"):
            list(read_records(path, **asked))


def test_values_that_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "n": 3, "l": [1, "x"]}\n{"text": "b"}\n{broken\n')
    records = list(read_records(path, "f", keep=["n", "l"]))
    assert [record.kept for record in records] == [["3", '[1, "x"]'], [None, None], None]
    columns = {"text": pa.array(["a", "b"]), "n": pa.array([3, None]), "label": pa.array([0, 1])}
    records = list(read_records(write(tmp_path / "a.parquet", columns), "f", keep=["n", "label", "text"]))
    assert [record.kept for record in records] == [["3", "0", "a"], [None, "1", "b"]]


def test_a_missing_file(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        message = refusal(tmp_path / f"missing{suffix}")
        assert "No such file" in message
        assert suffix in message


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder.txt"
    folder.mkdir()
    assert "irectory" in refusal(folder)


@pytest.mark.parametrize("name", ["a.xml", "a.parquet.gz", "a.gz", "a"])
def test_another_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("a\n")
    message = refusal(path)
    assert repr(path.suffix) in message
    assert ", ".join(SUFFIXES) in message


@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".csv", ".jsonl", ".json"])
def test_rows_are_streamed(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first record is there when a small part of the file has been read."""
    line = {".jsonl": '{"text": "a"}\n', ".json": '{"text": "a"},\n'}.get(suffix, "text\n")
    path = tmp_path / f"a{suffix}"
    path.write_text(("[" if suffix == ".json" else "") + line * 100_000)
    read = []
    plain = Path.open

    def watched(self: Path, mode: str) -> io.BufferedReader:
        stream = plain(self, mode)
        read.append(stream)
        return stream

    monkeypatch.setattr(Path, "open", watched)
    records = read_records(path)
    assert next(records).status == "ok"
    assert read[0].tell() < 100_000
    records.close()
    assert read[0].closed


def test_every_row_has_a_record(tmp_path: Path) -> None:
    """Whatever the bytes are, lines of text and JSON and TSV are as many as their newlines."""
    noise = bytes((i * i * 31 + i // 7) % 256 for i in range(20_000))
    lines = noise.count(b"\n") + (not noise.endswith(b"\n"))
    assert lines > 20
    for suffix in ("txt", "jsonl"):
        found = read(tmp_path, f"a.{suffix}", noise)
        assert [record.name for record in found] == [f"f:{number}" for number in range(1, lines + 1)]
    found = read(tmp_path, "a.tsv", b"text\n" + noise)
    assert [record.name for record in found] == [f"f:{number}" for number in range(2, lines + 2)]
