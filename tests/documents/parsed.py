"""Parses the code of the guides whose compilers cannot be had: no block has a syntax error by tree-sitter's grammar of its
language. This says nothing of types, nor of names that do not exist.

Usage: parsed.py, by the Python that has the grammars.
"""

import tree_sitter_dart
import tree_sitter_swift
from tree_sitter import Language, Parser

from blocks import blocks

GUIDES = (("docs/clients/ios.md", "swift", tree_sitter_swift), ("docs/clients/flutter.md", "dart", tree_sitter_dart))


def faults(node):
    """Gives each place that the grammar could not make sense of."""
    if node.type == "ERROR" or node.is_missing:
        yield node
    else:
        for child in node.children:
            yield from faults(child)


def main():
    for document, language, grammar in GUIDES:
        parser = Parser(Language(grammar.language()))
        texts = [text for its, text in blocks(document) if its == language]
        # The example and three files.
        assert len(texts) == 4, (document, len(texts))
        for text in texts:
            found = [f"line {node.start_point.row + 1}: {node.text[:80]}" for node in faults(parser.parse(text.encode()).root_node)]
            assert not found, (document, text.splitlines()[0], found)
            # The grammar does see what is wrong: a bracket too few, wherever it was.
            for bracket in "{}()":
                wrong = text.replace(bracket, "", 1)
                assert wrong == text or parser.parse(wrong.encode()).root_node.has_error, (document, bracket)
        print(f"{language}: {len(texts)} blocks, {sum(text.count(chr(10)) for text in texts)} lines without a syntax error")


if __name__ == "__main__":
    main()
