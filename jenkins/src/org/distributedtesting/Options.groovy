package org.distributedtesting

/**
 * What a Jenkinsfile asked for, as environment variables of dt, so that no value is ever read by a shell.
 *
 * Jenkins rewrites this code to run in steps that survive a restart, and that breaks in constructors, getters and the
 * closures of collect and findAll. So there are static methods and loops here, and nothing else.
 */
class Options implements Serializable {

    private static final long serialVersionUID = 1L

    static final List<String> OF_LIBRARY = [
        'image', 'dockerArgs', 'testTypes', 'credentials', 'coverage', 'failOnError', 'command',
    ]

    /** Raises IllegalArgumentException for an option that does not exist. */
    static void check(Map given) {
        List<String> known = OF_LIBRARY + DtOptions.NAMES
        List<String> unknown = []
        for (Object name : given.keySet()) {
            if (!known.contains(name.toString())) {
                unknown.add(name.toString())
            }
        }
        if (unknown.size() > 0) {
            throw new IllegalArgumentException('distributedTesting has no option ' + unknown.join(', ') +
                '; expected one of ' + known.join(', '))
        }
    }

    /** The test types to run, each on its own; one empty type where none is named. */
    static List<String> testTypes(Map given) {
        List<String> types = []
        for (Object type : (given.testTypes ?: [''])) {
            types.add(type.toString())
        }
        return types
    }

    /** Where the reports of a test type go: each has a directory of its own, since they run in one workspace. */
    static String outputDir(Map given, String testType) {
        String base = given.outputDir ?: 'test_reports'
        return testType ? base + '/' + testType.replaceAll('[^A-Za-z0-9._-]', '-') : base
    }

    /** `NAME=value` for withEnv. A list is put on lines, which is how dt takes values that hold blanks. */
    static List<String> environment(Map given, String testType) {
        List<String> variables = ['DT_PROVIDER=jenkins', 'DT_OUTPUT_DIR=' + outputDir(given, testType)]
        for (String name : DtOptions.NAMES) {
            boolean isSetHere = name == 'outputDir' || (name == 'testType' && testType)
            if (given[name] != null && !isSetHere) {
                variables.add(variable(name) + '=' + text(given[name]))
            }
        }
        if (testType) {
            variables.add('DT_TEST_TYPE=' + testType)
        }
        return variables
    }

    /** `testDir` -> `DT_TEST_DIR` */
    static String variable(String name) {
        return 'DT_' + name.replaceAll('([A-Z])', '_$1').toUpperCase()
    }

    private static String text(Object value) {
        return value instanceof Collection ? value.join('\n') : value.toString()
    }

}
