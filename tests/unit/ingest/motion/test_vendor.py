"""The vendor's SDK is prepared before the first session needs it."""

from spatius import net

from relay_ingest.motion.vendor import Vendor


def test_the_first_session_finds_the_certificates_read() -> None:
    """The SDK keeps one TLS context for all sessions; after ``load`` a session creates none."""
    Vendor.load()
    context = net._ssl_context
    assert context is not None
    assert net.get_ssl_context() is context
