from urllib.request import urlopen


def test_client(client):
    assert client.get("/").content == b"shop"


def test_live(live_server):
    assert urlopen(live_server.url).read() == b"shop"


def test_mail(mailoutbox, settings):
    settings.DEBUG = True
    from django.core.mail import send_mail
    send_mail("a", "b", "c@example.org", ["d@example.org"])
    assert len(mailoutbox) == 1
