Feature: The shop
  Scenario: Buy one
    Given a basket
    When I add 1 apple
    Then there are 1 apples

  Scenario: Fail
    Given a basket
    Then there are 5 apples

  Scenario Outline: Buy some
    Given a basket
    When I add <n> apple
    Then there are <n> apples

    Examples:
      | n |
      | 2 |
      | 3 |
