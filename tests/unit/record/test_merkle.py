"""Merkle trees: known roots, and proofs that hold for one entry, one place and one length alone (R-35)."""

from __future__ import annotations

import hashlib

import pytest

from samebits.record.merkle import inclusion_proof, merkle_root, root_of_proof

# Roots of the reference lists in the tests of Certificate Transparency's implementations (RFC 6962): the first entry,
# and all eight.
ENTRIES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("n", ROOTS)
def test_the_root_is_that_of_rfc_6962(n: int) -> None:
    assert merkle_root(ENTRIES[:n]) == ROOTS[n]


def test_a_tree_of_two_is_made_of_its_leaves() -> None:
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in (b"a", b"b")]
    assert merkle_root([b"a", b"b"]) == hashlib.sha256(b"\1" + leaves[0] + leaves[1]).hexdigest()


@pytest.mark.parametrize("n", range(1, 20))
def test_a_proof_holds_for_its_entry_place_and_length_alone(n: int) -> None:
    entries = [bytes([number]) for number in range(n)]
    root = merkle_root(entries)
    for index in range(n):
        proof = inclusion_proof(entries, index)
        assert len(proof) <= n.bit_length()
        assert root_of_proof(entries[index], index, n, proof) == root
        assert root_of_proof(b"another", index, n, proof) != root
        for elsewhere in set(range(-1, n + 1)) - {index}:
            assert root_of_proof(entries[index], elsewhere, n, proof) != root
        assert root_of_proof(entries[index], index, n, [*proof, "0" * 64]) is None
        for place in range(len(proof)):
            changed = [*proof[:place], "0" * 64, *proof[place + 1 :]]
            assert root_of_proof(entries[index], index, n, changed) != root
            assert root_of_proof(entries[index], index, n, proof[:place]) != root


def test_there_is_no_proof_beyond_the_list() -> None:
    with pytest.raises(IndexError):
        inclusion_proof(ENTRIES, 8)
