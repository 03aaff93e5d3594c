import xml.etree.ElementTree as ET
for case in sorted(ET.parse('out.xml').getroot().iter('test-case'), key=lambda case: case.get('fullname')):
    print(case.get('fullname'), case.get('result'))
