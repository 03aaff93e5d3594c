package org.distributedtesting

/** Written by tools/interfaces.py from dt_action/options/table.py; a test compares them. */
class DtOptions implements Serializable {

    private static final long serialVersionUID = 1L

    static final List<String> NAMES = [
        'testDir',
        'testPattern',
        'testFiles',
        'testType',
        'hardware',
        'shard',
        'fleet',
        'coordinator',
        'fallback',
        'workers',
        'isolation',
        'pytestArgs',
        'timeout',
        'pollInterval',
        'caseTimeout',
        'noOutputTimeout',
        'retries',
        'failFast',
        'python',
        'requirements',
        'setup',
        'history',
        'base',
        'onlyFailed',
        'changedSince',
        'order',
        'failOn',
        'coverage',
        'coverageFormats',
        'coverageContexts',
        'failUnder',
        'patchFailUnder',
        'outputDir',
        'reportFormats',
        'templateDir',
        'redact',
        'verbose',
        'label',
        'reportUrl',
        'notify',
        'notifyOn',
        'strictPublishing',
    ]

}
