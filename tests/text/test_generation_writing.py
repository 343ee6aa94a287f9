"""Text as it grows: whole characters, stop words that span tokens."""

import pytest

from vit.text.generation.writing import Writing

# Tokens that are bytes: what a byte-level tokenizer decodes, with U+FFFD for a part of a character.


def decode(ids: list[int]) -> str:
    return bytes(ids).decode(errors="replace")


def pieces(
    text: str | bytes, stop: tuple[str, ...] = (), ends: tuple[int, ...] = ()
) -> tuple[list[str], bool]:
    """What is given out after each byte, and whether the text has ended."""
    writing, found, done = Writing(decode, ends, stop), [], False
    for token in text.encode() if isinstance(text, str) else text:
        done = writing.add(token)
        found.append(writing.take())
        if done:
            break
    writing.finish()
    found.append(writing.take())
    assert "".join(found) == writing.text
    return found, done


def test_a_character_comes_whole() -> None:
    assert pieces("a猫b") == (["a", "", "", "猫", "b", ""], False)
    assert pieces("é")[0] == ["", "é", ""]
    assert "".join(pieces("😀 Zoë 猫")[0]) == "😀 Zoë 猫"


def test_a_part_of_a_character_at_the_end_is_what_the_tokenizer_says() -> None:
    assert pieces("a猫".encode()[:-1])[0] == ["a", "", "", "\ufffd"]
    assert pieces(b"a\xffb")[0] == ["a", "", "\ufffdb", ""]


def test_a_stop_word_over_several_tokens_is_not_given_out() -> None:
    assert pieces("one STOP two", ("STOP",)) == (["o", "n", "e", " ", "", "", "", "", ""], True)
    assert pieces("one STO two", ("STOP",))[0] == ["o", "n", "e", " ", "", "", "", "STO ", "t", "w", "o", ""]
    assert pieces("aab", ("ab",)) == (["", "a", "", ""], True)
    assert pieces("猫 x", ("猫",)) == (["", "", "", ""], True)


def test_what_was_held_back_comes_at_the_end() -> None:
    assert pieces("one ST", ("STOP",))[0][-1] == "ST"


@pytest.mark.parametrize("stop", [("b", "ab"), ("ab", "b")])
def test_the_earliest_stop_word_ends_the_text(stop: tuple[str, ...]) -> None:
    found, done = pieces("xab", stop)
    assert ("".join(found), done) == ("x", True)


def test_an_end_is_no_part_of_the_text() -> None:
    assert pieces(b"ab\x00c", ends=(0,)) == (["a", "b", "", ""], True)
    assert pieces(b"S\x00", ("ST",), (0,)) == (["", "S", ""], True)
