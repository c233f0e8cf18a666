"""Reports of runs: numbers and conclusions, plots, HTML, Markdown, text. Nothing here compares bits by itself."""
