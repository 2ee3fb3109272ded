"""Keys and certificates made on the spot, for the tests of TLS."""
import datetime
import ipaddress
import os
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def replace(path, data):
    """A file in place of another, as those who renew certificates do it: never half of it."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.chmod(0o600)
    os.replace(fresh, path)


class Identity:
    """A key and its certificate. Without an issuer it signs itself; `days` may lie in the past."""

    def __init__(self, common_name, issuer=None, authority=False, names=(), addresses=(), uris=(), days=(-1, 1),
                 client=False, kind="ec"):
        self.key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        now = datetime.datetime.now(datetime.timezone.utc)
        self.name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
                               x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        signer = issuer or self
        builder = (x509.CertificateBuilder().subject_name(self.name).issuer_name(signer.name)
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0]))
                   .not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
                                  critical=False)
                   .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority,
                                                crl_sign=authority, content_commitment=False, key_encipherment=False,
                                                data_encipherment=False, key_agreement=False, encipher_only=False,
                                                decipher_only=False), critical=True))
        others = [*(x509.DNSName(name) for name in names),
                  *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
                  *(x509.UniformResourceIdentifier(uri) for uri in uris)]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        if not authority:
            purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def serial(self):
        return self.certificate.serial_number

    def certificate_pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())

    def write(self, folder, name):
        """The certificate's and the key's file."""
        folder = pathlib.Path(folder)
        replace(folder / f"{name}.pem", self.certificate_pem())
        replace(folder / f"{name}.key", self.key_pem())
        return folder / f"{name}.pem", folder / f"{name}.key"


def server(issuer, **options):
    return Identity("gateway", issuer, **{"names": ["localhost"], "addresses": ["127.0.0.1"], **options})
