"""Files and functions of the core stay small enough to read at night (WALL-SIZE-001)."""

import ast
from typing import Final

from ci.wall.finding import Finding
from ci.wall.tree import CORE, Tree

FILE_LINES_MAX: Final = 400
"""In every project of this kind one session file grew to thousands of lines; a screenful of files is the cure."""
FUNCTION_LINES_MAX: Final = 40
"""With its docstring; the median in the projects we admire is ten."""


def check_sizes(tree: Tree) -> list[Finding]:
    """Files above 400 lines and functions above 40."""
    findings = []
    for file in tree.files(CORE):
        lines = tree.source(file).count("\n")
        if lines > FILE_LINES_MAX:
            findings.append(Finding(file, 1, f"{lines} lines, {FILE_LINES_MAX} are readable: split by concern"))
        for node in ast.walk(tree.syntax(file)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                long = node.end_lineno - node.lineno + 1
                if long > FUNCTION_LINES_MAX:
                    text = f"{node.name} has {long} lines, {FUNCTION_LINES_MAX} are readable"
                    findings.append(Finding(file, node.lineno, text))
    return findings
