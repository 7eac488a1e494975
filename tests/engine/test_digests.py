from mmc2fmae.files import file_sha256


def test_hash_of_files_is_that_of_their_joined_content(tmp_path):
    (tmp_path / 'abc').write_bytes(b'abc')
    (tmp_path / 'a').write_bytes(b'a')
    (tmp_path / 'bc').write_bytes(b'bc')
    lengths = []
    # The test vector of FIPS 180.
    expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert file_sha256(tmp_path / 'abc') == expected
    assert file_sha256(tmp_path / 'a', tmp_path / 'bc', on_read=lengths.append) == expected
    assert lengths == [1, 2]
