"""The page that `dvc plots show` and `dvc plots diff` fill: Vega inlined, so that it draws with no network.

`python scripts/page.py` writes .dvc/page.html anew, byte for byte, from the registry that npm is set to. It needs npm;
the pipeline, the tests and whoever looks at plots need only the page.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / ".dvc/page.html"

FRAME = """\
<!DOCTYPE html>
<!-- Written by `python scripts/page.py`. DVC puts its plots in place of the words in braces. -->
<html lang="en">
<head>
<meta charset="utf-8">
<!-- The browser itself refuses what is not in this file or, for plots that are images, beside it. -->
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' file: data: blob:; \
script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'">
{refresh_tag}
<title>Plots</title>
<style>
body { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 24px; margin: 24px; font: 13px sans-serif; }
body > div { max-width: 100%; overflow-x: auto; }
body > div.vega-embed { padding-right: 38px; }
body > div:not(:has(> :not(script))) { display: none; }
</style>
LIBRARIES
<script>
// Into SVG, whose text can be searched and whose points stay sharp; no menu entry that leaves the page. A file
// without rows gives an empty specification, which draws nothing.
(embed => {
  const options = { renderer: "svg", actions: { export: true, source: true, compiled: false, editor: false } };
  window.vegaEmbed = (place, spec) => "$schema" in spec ? embed(place, spec, options) : Promise.resolve();
})(vegaEmbed);
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""

NOTICE = """\
The three scripts below, each as its package has it, are under the BSD 3-Clause License:

Vega: Copyright (c) 2015-2023, University of Washington Interactive Data Lab
Vega-Lite, Vega-Embed: Copyright (c) 2015, University of Washington Interactive Data Lab
All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this
   list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice,
   this list of conditions and the following disclaimer in the documentation
   and/or other materials provided with the distribution.

3. Neither the name of the copyright holder nor the names of its contributors
   may be used to endorse or promote products derived from this software
   without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT OWNER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

They hold parts of D3 and TopoJSON (Copyright Mike Bostock) and semver (Copyright Isaac Z. Schlueter and
Contributors), under the ISC License:

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.
"""


class FetchError(Exception):
    """A package cannot be fetched, or does not hold what it is known to hold."""


@dataclass(frozen=True)
class Library:
    """One package of the npm registry and the sha256 of the minified script in it."""

    name: str
    version: str
    sha256: str


# The last Vega 5, whose Vega-Lite reads the v5 schema of our templates; 5.21 also draws docs/pictures.
LIBRARIES = (
    Library("vega", "5.33.1", "463f3db6a40b20e9747b4ed38f37ed0add508838f9141b1cf8366784b07b30c8"),
    Library("vega-lite", "5.21.0", "cd32314b1e76e7d879dc9f0534b62be714df03554486c7ca2381abfd0a92d2f4"),
    Library("vega-embed", "6.29.0", "12d02acfbe3ec59ef9a37dd4822a2e04e2961b5bbb671bbe661d2221715b99da"),
)


def fetch_script(library: Library) -> str:
    """Return the minified script of a package; raise FetchError when npm fails or the bytes are other ones."""
    pinned = f"{library.name}@{library.version}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, pinned]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise FetchError("npm is not installed; install it: apt-get install npm") from None
        except subprocess.CalledProcessError as error:
            raise FetchError(f"npm pack {pinned} failed: {error.stderr.strip()}") from None
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            member = package.extractfile(f"package/build/{library.name}.min.js")
            script = member.read() if member else b""
    found = hashlib.sha256(script).hexdigest()
    if found != library.sha256:
        raise FetchError(f"{pinned}: sha256 {found}; expected {library.sha256}, see LIBRARIES in scripts/page.py")
    return script.decode()


def inline_script(library: Library, script: str) -> str:
    """Return a script as an element of the page, without the address of its source map."""
    body = re.sub(r"\n//# sourceMappingURL=.*\n?\Z", "", script)
    if "</script" in body or "<!--" in body:
        raise FetchError(f"{library.name}@{library.version} would end its own script element: it cannot be inlined")
    return f"<!-- {library.name} {library.version}, sha256 {library.sha256} -->\n<script>{body}</script>"


def compose_page() -> str:
    """Return the page: the frame with the libraries in it, after their licences."""
    scripts = [inline_script(library, fetch_script(library)) for library in LIBRARIES]
    return FRAME.replace("LIBRARIES", "\n".join([f"<!--\n{NOTICE}-->", *scripts]))


if __name__ == "__main__":
    try:
        PAGE.write_text(compose_page(), encoding="utf-8")
    except FetchError as error:
        sys.exit(f"error: {error}")
