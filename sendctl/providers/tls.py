"""How a service is known to be who it says: by its certificate's chain and name, always. Writes no key down.

The authorities are the system's, as OpenSSL finds them: SSL_CERT_FILE and SSL_CERT_DIR of the environment name others,
which is how many sites trust one of their own. SSLKEYLOGFILE is not heeded: who reads that file reads every password.
"""

from __future__ import annotations

import ssl


def verifying_context(ca_file: str = "") -> ssl.SSLContext:
    """A context that trusts `ca_file` besides the system's authorities. Raises OSError where it cannot be read."""
    # Not create_default_context, which writes the keys of each connection into $SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996 retires 1.0 and 1.1
    context.load_default_certs()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context
