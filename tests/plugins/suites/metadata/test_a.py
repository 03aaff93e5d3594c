def test_a(metadata):
    assert metadata['build'] == '17' and metadata['by'] == 'conftest'
