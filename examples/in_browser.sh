#!/bin/sh
# in_browser.sh PYRAMIDS: shows the datasets below a folder in a web browser, until Ctrl-C. `--no-browser` only prints the address.
exec omezarr-proc view "$@"
