"""The README's table of settings, as the settings have it."""

from omezarr_proc.config.settings import table


def readme_table() -> str:
    """As Markdown; to write the README's anew, put this in its place."""
    rows = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    for entry in table():
        default = f"`{entry.default_text}`" if entry.default_text else ""
        rows.append(f"| `{entry.variable}` | {default} | {entry.rule.text} | {entry.help} |")
    return "\n".join(rows) + "\n"
