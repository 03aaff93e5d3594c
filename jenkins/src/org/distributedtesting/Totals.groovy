package org.distributedtesting

/** What dt left in dt.env of the output directory, and what its exit codes mean (docs/exit-codes.md). */
class Totals implements Serializable {

    private static final long serialVersionUID = 1L

    private static final Map<Integer, String> MEANINGS = [
        1: 'tests failed',
        2: 'the run was interrupted',
        3: 'a bug in dt',
        4: 'the options or the project cannot be used as they are',
        5: 'there were no tests',
        6: 'the run is incomplete: tests that were planned did not report',
        7: 'the coordinator is out of reach or refuses to work',
        8: 'the reports could not be published',
    ]

    /** `DT_RESULT_PASSED=3` on lines -> [passed: '3'] */
    static Map<String, String> read(String dotenv) {
        Map<String, String> found = [:]
        for (String line : dotenv.readLines()) {
            int sign = line.indexOf('=')
            if (sign > 0 && line.startsWith('DT_RESULT_')) {
                found[line.substring('DT_RESULT_'.length(), sign).toLowerCase()] = line.substring(sign + 1)
            }
        }
        return found
    }

    /** `3 passed, 1 failed, 0 skipped`, after the test type where there are several; empty where nothing is known. */
    static String describe(String testType, Map<String, String> totals) {
        if (!totals.containsKey('passed')) {
            return ''
        }
        String counts = totals.passed + ' passed, ' + totals.failed + ' failed, ' + totals.skipped + ' skipped'
        return testType ? testType + ': ' + counts : counts
    }

    static String meaning(int status) {
        return MEANINGS[status] ?: 'dt did not say why'
    }

}
