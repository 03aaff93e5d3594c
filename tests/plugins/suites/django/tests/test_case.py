from django.test import TestCase, TransactionTestCase
from shop.models import Item


class TestItems(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.item = Item.objects.create(name="of the class")

    def test_first(self):
        self.assertEqual(Item.objects.count(), 1)
        Item.objects.create(name="more")

    def test_second(self):
        self.assertEqual(Item.objects.count(), 1)


class TestCommitted(TransactionTestCase):
    def test_empty(self):
        self.assertEqual(Item.objects.count(), 0)
        Item.objects.create(name="left")

    def test_empty_again(self):
        self.assertEqual(Item.objects.count(), 0)
