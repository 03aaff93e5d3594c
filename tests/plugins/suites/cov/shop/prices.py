def with_tax(price, rate=0.2):
    if rate < 0:
        raise ValueError(rate)
    return round(price * (1 + rate), 2)


def never_called():
    return "nobody"
