# SPDX-License-Identifier: BSD-3-Clause
"""papers -- certificates of servers and clients, good and bad ones."""

import ssl
import subprocess


class Papers:
    """Certificates and keys in one folder, made by openssl."""

    def __init__(self, folder):
        self.folder = folder
        for authority in ("ca", "other-ca"):
            self.openssl("req", "-x509", *self.new_key(authority), "-days", "3", "-subj", f"/CN={authority}",
                         "-out", self.cert(authority))
        self.sign("server", "IP:127.0.0.1,DNS:localhost")
        self.sign("next", "IP:127.0.0.1,DNS:localhost")
        self.sign("alice")
        self.sign("stranger", authority="other-ca")
        self.sign("elsewhere", "DNS:elsewhere.test")
        self.sign("over", "IP:127.0.0.1", days="-1")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def new_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key(name)]

    def sign(self, name, alternative=None, authority="ca", days="3"):
        extensions = self.folder / "extensions"
        extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "basicConstraints=CA:FALSE\n")
        self.openssl("req", "-new", *self.new_key(name), "-subj", f"/CN={name}", "-out", "request")
        self.openssl("x509", "-req", "-in", "request", "-CA", self.cert(authority), "-CAkey", self.key(authority),
                     "-CAcreateserial", "-days", days, "-extfile", str(extensions), "-out", self.cert(name))

    def cert(self, name):
        return str(self.folder / f"{name}.crt")

    def key(self, name):
        return str(self.folder / f"{name}.key")

    def server_flags(self, name="server", *more):
        return ["--tls-cert-file", self.cert(name), "--tls-key-file", self.key(name), "--tls-ca-cert-file", self.cert("ca"),
                *more]

    def context(self, own=None, authority="ca"):
        """A client's."""
        context = ssl.create_default_context(cafile=self.cert(authority))
        if own:
            context.load_cert_chain(self.cert(own), self.key(own))
        return context
