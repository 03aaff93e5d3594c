import pytest
from shop.models import Item


@pytest.mark.django_db
@pytest.mark.parametrize("n", range(6))
def test_alone(n):
    Item.objects.create(name="x")
    assert Item.objects.count() == 1


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_both():
    Item.objects.using("other").create(name="y")
    assert Item.objects.using("other").count() == 1


def test_no_database():
    with pytest.raises(RuntimeError):
        Item.objects.count()
