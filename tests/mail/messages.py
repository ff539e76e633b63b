# SPDX-License-Identifier: GPL-2.0-only
"""Messages for tests: clean ones, and ones with the EICAR test file inside, put together at run time only."""

import io
import zipfile
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

SIGNATURE = "Mailward.Test.Eicar"


def eicar():
    """The 68 bytes of the EICAR test file."""
    return b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"


def signature_line():
    """An .ndb line for it."""
    return f"{SIGNATURE}:0:*:{eicar().hex()}\n"


def zipped(name, content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def _message(subject, text, recipient="anna@lmtp.test"):
    message = EmailMessage()
    message["From"] = "eve@example.test"
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="example.test")
    message.set_content(text)
    return message


def clean(subject, text="Nothing to see.\n"):
    return _message(subject, text)


def clean_attachment(subject):
    message = _message(subject, "The figures.\n")
    message.add_attachment(zipped("figures.csv", b"month,sum\n" + b"11,42\n" * 500), maintype="application",
                           subtype="zip", filename="figures.zip")
    return message


def with_attachment(subject, name, content, text="Please see the attachment.\n"):
    """A message with this file, of no particular kind, base64 in a MIME part."""
    message = _message(subject, text)
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message


def infected(subject):
    """EICAR in a zip, the zip base64 in a MIME part: nothing of it stands in the message as such."""
    message = _message(subject, "Please see the invoice.\n")
    message.add_attachment(zipped("invoice.com", eicar()), maintype="application", subtype="zip",
                           filename="invoice.zip")
    return message


def carries(data, content):
    """Does this message, as a reader got it, still carry that content? Unpacks it as the reader would."""
    import email
    for part in email.message_from_bytes(data).walk():
        payload = part.get_payload(decode=True) or b""
        if payload[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(payload)) as archive:
                if any(content in archive.read(one) for one in archive.infolist() if not one.flag_bits & 1):
                    return True
        if content in payload:
            return True
    return False


def is_infected(data):
    """Does this message still carry the test file?"""
    return carries(data, eicar())
